package config

import (
	"path/filepath"
	"strconv"
	"strings"
)

// ErrorPage is an answer of our own making.
type ErrorPage struct {
	Body []byte
	Type string // content type by the file's ending
}

// readErrorPages reads the files of error_pages. "5xx" is every code from 500 to 599 that is not named itself.
func (d *decoder) readErrorPages(b *body) map[int]ErrorPage {
	pages := map[int]ErrorPage{}
	classes := map[int]ErrorPage{}
	for _, e := range b.object("error_pages", `an object such as { "503" = "busy.html" }`) {
		code, err := strconv.Atoi(e.key)
		class := e.key == "4xx" || e.key == "5xx"
		if !class && (err != nil || code < 400 || code > 599) {
			d.fail(e.at, "Not an error code", "%q is not a status code from 400 to 599, \"4xx\" or \"5xx\".", shorten(e.key))
			continue
		}
		page, ok := d.readErrorPage(b, e)
		switch {
		case !ok:
		case class:
			classes[int(e.key[0]-'0')] = page
		default:
			pages[code] = page
		}
	}
	for class, page := range classes {
		for code := class * 100; code < class*100+100; code++ {
			if _, own := pages[code]; !own {
				pages[code] = page
			}
		}
	}
	if len(pages) == 0 {
		return nil
	}
	return pages
}

func (d *decoder) readErrorPage(b *body, e entry) (ErrorPage, bool) {
	if !b.want("an error page", &e.value, text, "the path of a file") {
		return ErrorPage{}, false
	}
	kind := pageType(e.text)
	if kind == "" {
		d.fail(e.value.at, "Unknown kind of page", "%s: an error page ends in .html, .htm, .txt, .json, .xml or .svg.", e.show())
		return ErrorPage{}, false
	}
	if b.scope.elsewhere {
		return ErrorPage{}, false // the file is on the nodes that the block is placed on
	}
	data, read := d.files[e.text]
	if !read {
		var err error
		if data, err = d.readFile(e.text, maxIncluded); err != nil {
			d.fail(e.value.at, "File not readable", "%s. A path is relative to the file that names it.", err)
			return ErrorPage{}, false
		}
		d.files[e.text] = data
		d.include("file", e.text, data)
	}
	return ErrorPage{Body: data, Type: kind}, true
}

// pageType is a table of our own: the system's differs between machines, and a node must not.
func pageType(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".html", ".htm":
		return "text/html; charset=utf-8"
	case ".txt":
		return "text/plain; charset=utf-8"
	case ".json":
		return "application/json"
	case ".xml":
		return "application/xml"
	case ".svg":
		return "image/svg+xml"
	}
	return ""
}
