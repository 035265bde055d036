package config

// Files serves files of a directory before, or instead of, a pool.
//
// A path is looked for as Try says, left to right; the first that is a file is served, or run if its name ends in Script.
// What is not found goes to the pool, unless the pool speaks FastCGI: that runs scripts only, so it is a 404.
type Files struct {
	Pos        Pos
	Root       string   // absolute directory
	Index      []string // names looked for in a directory
	Try        []string // "{path}", "{path}/" (its index), "/index.php" (the last resort), "=404"
	Script     string   // ending of scripts, which are sent to the pool and never served: ".php"; "" is none
	ScriptRoot string   // Root as the FastCGI server sees it
	Params     []Param  // FastCGI parameters beside the usual ones
	Hidden     bool     // serve names that begin with a dot; .well-known always is
}

// Param is one FastCGI parameter.
type Param struct {
	Name, Value string // the value may be secret
}

// Compress is how answers are compressed.
type Compress struct {
	Encodings []string // of "zstd", "br", "gzip", the best first
	Types     []string // media types, "text/*" among them, lower case
	MinSize   int64    // bytes of a body whose length is known
}
