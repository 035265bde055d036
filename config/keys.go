package config

// Block is the language's entry of one kind of block: which keys and blocks it may hold. The reader refuses every other
// name; the reference (docs/config.md) and the examples are compared with it by tests.
type Block struct {
	Path   string // "http.route"; "" is the file itself
	Label  string // what its label is: "name"; "" is none
	Keys   []Key
	Blocks []string // kinds of blocks inside
}

// Key is one key of a block.
type Key struct {
	Name    string
	Type    string // "time", "list of text"
	Default string // as written in a file; "" is none, which Text then explains
	Text    string // one sentence: what it means
}

func (b *Block) key(name string) *Key {
	if b == nil {
		return nil
	}
	for i := range b.Keys {
		if b.Keys[i].Name == name {
			return &b.Keys[i]
		}
	}
	return nil
}

// Language lists every block and key. The order is that of the reference.
func Language() []Block {
	var out []Block
	for _, part := range [][]Block{
		fileBlocks(), poolBlocks(), memberTLSBlocks(), acmeBlocks(), tlsBlocks(), httpBlocks(), frontBlocks(), routeBlocks(), vipBlocks(), adminBlocks(), logBlocks(),
	} {
		out = append(out, part...)
	}
	return out
}

func languageByPath() map[string]*Block {
	all := Language()
	m := make(map[string]*Block, len(all))
	for i := range all {
		m[all[i].Path] = &all[i]
	}
	return m
}

func fileBlocks() []Block {
	return []Block{
		{Path: "", Blocks: []string{"region", "server", "pool", "acme", "tls", "http", "vip", "admin", "log"}, Keys: []Key{
			{"servers", "object of addresses", "", "Names of servers and their addresses, for a file without regions: an IP address or host name, with a port if it has one of its own, or a unix socket as `\"unix:/run/app.sock\"`."},
			{"state", "path", "", "Directory for what must survive a restart. Without it `/var/lib/skein` for root, else `$XDG_STATE_HOME/skein` or `~/.local/state/skein`."},
		}},
		{Path: "region", Label: "name", Keys: []Key{
			{"servers", "object of addresses", "", "Names of this region's servers and their addresses."},
		}},
		{Path: "server", Label: "name", Keys: []Key{
			{"weight", "number", "1", "Share of the work in every pool that says nothing else, 1 to 1000."},
		}},
	}
}
