package admin

import "net/http"

// metrics is what Prometheus reads.
func (a *Admin) metrics() http.Handler { return http.NotFoundHandler() }
