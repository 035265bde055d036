// Package config turns a skein.hcl (or its JSON twin) into one immutable [Config]. It is the only package that knows HCL;
// everybody else sees the plain structs of this file and its neighbours, with every default filled in and every reference
// resolved.
//
// Start at [Load]. One file describes one block: pool.go, http.go, admin.go and so on.
//
// It promises to report every mistake of a file at once, each with its place, and never to accept a key that does nothing.
// It opens no sockets and reads nothing but the files that the configuration names.
package config

// Config is one file as this node understands it. It is never changed after Load.
type Config struct {
	File    string    // as given to Load
	Hash    string    // hex SHA-256 over the file and every file that it includes by value; equal hashes mean an equal configuration
	Node    string    // this node's name; "" if the file has no placement and nothing matched
	Region  string    // this node's region; "" if it has none
	State   string    // directory for what must survive a restart (drains)
	Regions []Region  // in the order of the file
	Servers []*Server // the named ones, in the order of the file, then those written as strings
	Pools   []*Pool   // the named ones and those that an http block made by `servers`; not those that only blocks on other nodes use
	HTTP    []*HTTP   // only the blocks placed on this node
	ACME    *ACME     // nil unless a block of this node uses it
	TLS     []*TLS    // those that blocks of this node use
	Admin   Admin
	Log     Log
	VIPs    []*VIP // only the blocks placed on this node

	Warnings []Problem // what `skein check` says about a file that is right but doubtful
}

// Pos is a place in a file, for errors that only show when a block is prepared (a port in use).
type Pos struct {
	File string
	Line int
}
