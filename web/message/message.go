// Package message is what HTTP/2 and HTTP/3 have in common: a request as a list of fields with pseudo fields among them, and the
// rules that it must keep before anybody makes an HTTP/1.1 request of it.
//
// Start at [List]. It knows nothing of frames, of HPACK or of QPACK, and nothing of ours.
package message

// Field is one field line, the name in lower case. It is valid as long as its request. Its bytes may be shared with other
// requests: they must never be written to.
type Field struct{ Name, Value []byte }

// Request is a request that has passed all rules of RFC 9113 section 8, and so of RFC 9114 section 4, that a server can check.
type Request struct {
	Method    string
	Scheme    string  // http or https; empty for CONNECT without a protocol
	Authority []byte  // :authority, or Host when there is none; never empty
	Path      []byte  // with the query, as received; begins with "/", or is "*"; nil for CONNECT without a protocol
	Protocol  string  // :protocol of an extended CONNECT
	Fields    []Field // without host and content-length, which are told above and below; cookie crumbs are one field
	Length    int64   // of the body: 0 without one, -1 if only its end will tell
	Small     []byte  // the whole body, if all of it came with the head
}
