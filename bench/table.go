package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Table is what a scenario measured.
type Table struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Columns []Column `json:"columns"`
	Rows    []*Row   `json:"rows"`
	Notes   []string `json:"notes,omitempty"`
}

// Column names a figure.
type Column struct {
	Title string `json:"title"`
	Unit  string `json:"unit,omitempty"`
}

// Row is one contender: the medians of its rounds, one for each column.
type Row struct {
	Name    string             `json:"name"`
	Valid   bool               `json:"valid"`
	Note    string             `json:"note,omitempty"` // why it is not valid, or what to know
	Medians []float64          `json:"medians,omitempty"`
	Figures []float64          `json:"figures,omitempty"` // first column, every round
	Ratios  map[string]float64 `json:"ratios,omitempty"`  // first column, to other rows
	Results []Result           `json:"results"`           // every round
}

// summarize turns the results of all rounds into a table. One error in any round makes a row invalid: a proxy that answers
// wrongly is not fast.
func summarize(s scenario, rows []*Row, against []string) Table {
	t := Table{Name: s.name, Title: s.title, Rows: rows}
	for _, c := range s.columns {
		t.Columns = append(t.Columns, Column{c.title, c.unit})
	}
	others := 0.0
	for _, row := range rows {
		late := int64(0)
		for _, r := range row.Results {
			if r.Errors > 0 && row.Note == "" {
				row.Note = fmt.Sprintf("%d errors, the first: %s", r.Errors, r.Error)
			}
			late += r.Late
			others = max(others, r.Others)
		}
		row.Valid = row.Note == "" && len(row.Results) > 0
		if !row.Valid {
			continue
		}
		if late > 0 {
			row.Note = "overloaded: the rate is more than it can do"
		}
		for i, c := range s.columns {
			figures := make([]float64, 0, len(row.Results))
			for _, r := range row.Results {
				figures = append(figures, c.of(r))
			}
			if i == 0 {
				row.Figures = figures
			}
			row.Medians = append(row.Medians, middle(figures))
		}
	}
	for _, name := range against {
		for _, row := range rows {
			if v, ok := ratio(row, t.row(name)); ok {
				if row.Ratios == nil {
					row.Ratios = make(map[string]float64)
				}
				row.Ratios[name] = v
			}
		}
	}
	if others > 0.05 {
		t.Notes = append(t.Notes, fmt.Sprintf("other programs used up to %.0f %% of the machine meanwhile", others*100))
	}
	return t
}

// ratio compares the first figures of two rows: the median of the ratios of each round. The two measurements of a round
// are seconds apart, so a machine that is slower in some rounds slows both, and their ratio stays.
func ratio(a, b *Row) (float64, bool) {
	if a == nil || b == nil || !a.Valid || !b.Valid || len(a.Figures) != len(b.Figures) {
		return 0, false
	}
	var ratios []float64
	for i := range a.Figures {
		if b.Figures[i] <= 0 {
			return 0, false
		}
		ratios = append(ratios, a.Figures[i]/b.Figures[i])
	}
	return middle(ratios), true
}

func (t *Table) row(name string) *Row {
	for _, r := range t.Rows {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// middle returns the median.
func middle(figures []float64) float64 {
	if len(figures) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(figures))
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}

// cells returns the table as text: a head, then the rows.
func (t *Table) cells(against []string) [][]string {
	head := []string{""}
	for i, c := range t.Columns {
		title := c.Title
		if c.Unit != "" {
			title += ", " + c.Unit
		}
		head = append(head, title)
		if i == 0 {
			head = append(head, "min - max")
		}
	}
	for _, name := range against {
		head = append(head, "/ "+name)
	}
	lines := [][]string{append(head, "")}
	for _, r := range t.Rows {
		line := []string{r.Name}
		for i := range t.Columns {
			if !r.Valid {
				line = append(line, "-")
			} else {
				line = append(line, number(r.Medians[i]))
			}
			if i == 0 {
				spread := "-"
				if r.Valid {
					spread = number(slices.Min(r.Figures)) + " - " + number(slices.Max(r.Figures))
				}
				line = append(line, spread)
			}
		}
		for _, name := range against {
			ratio := "-"
			if v, ok := r.Ratios[name]; ok {
				ratio = fmt.Sprintf("%.2f", v)
			}
			line = append(line, ratio)
		}
		note := r.Note
		if !r.Valid {
			note = "INVALID: " + note
		}
		lines = append(lines, append(line, note))
	}
	return lines
}

// number prints three or more digits that mean something.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// align pads cells into columns, the first and the last to the left, figures to the right.
func align(lines [][]string) string {
	var widths []int
	for _, line := range lines {
		for i, cell := range line {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		var text strings.Builder
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 || i == len(line)-1 {
				text.WriteString("  " + cell + pad)
			} else {
				text.WriteString("  " + pad + cell)
			}
		}
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
	return b.String()
}
