package config

// Log is the log block.
type Log struct {
	Level      string // debug, info, warn, error
	Format     string // text, json
	Access     string // json, combined, off
	AccessFile string // "" is standard output
	Pos        Pos    // of access_file, if there is one
}

func logBlocks() []Block {
	return []Block{{Path: "log", Keys: []Key{
		{"level", "text", "\"info\"", "Least level that is logged: `debug`, `info`, `warn` or `error`."},
		{"format", "text", "\"text\"", "`text` or `json`."},
		{"access", "text", "\"combined\"", "Access log: `combined` (as nginx and Apache write it), `json` or `off`."},
		{"access_file", "path", "", "File of the access log; without it standard output."},
	}}}
}

func (d *decoder) readLog(b *block) Log {
	l := Log{Level: "info", Format: "text", Access: "combined"}
	if b == nil {
		return l
	}
	l.Level = b.choice("level", l.Level, "debug", "info", "warn", "error")
	l.Format = b.choice("format", l.Format, "text", "json")
	l.Access = b.choice("access", l.Access, "combined", "json", "off")
	l.AccessFile = b.filePath("access_file", "")
	if b.has("access_file") {
		l.Pos = Pos{File: d.name, Line: b.nameAt("access_file").Start.Line}
	}
	if l.Access == "off" && b.has("access_file") {
		d.fail(b.nameAt("access_file"), "Key without effect", "access is off, so nothing is written to access_file.")
	}
	return l
}
