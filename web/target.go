package web

import (
	"bytes"
	"net/http"

	"skein/web/http1"
)

// target takes the :path of an HTTP/2 or HTTP/3 request apart, by the same rules as the target of an HTTP/1 request: behind us
// it becomes one. It returns the status to refuse it with, 0 for none.
func (x *exchange) target(raw []byte) (status int, why string) {
	if len(raw) > x.table.settings.Limits.URI {
		return http.StatusRequestURITooLong, "the target is too long"
	}
	path, query, err := http1.Target(raw)
	if err != nil {
		return http.StatusBadRequest, err.Reason
	}
	x.path, x.query = bytes.Clone(path), query // it is brought into normal form in place
	return 0, ""
}
