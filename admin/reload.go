package admin

import (
	"context"
	"net/http"
)

// reload reads the configuration again. The answer to a file with mistakes is their text, with file and lines.
func (a *Admin) reload(_ http.ResponseWriter, r *http.Request) (any, error) {
	if err := decode(r, &struct{}{}); err != nil {
		return nil, err
	}
	// A caller who goes away has still asked for it.
	if err := a.sources.Reload(context.WithoutCancel(r.Context())); err != nil {
		return nil, refusal{http.StatusUnprocessableEntity, err, "the running configuration stays"}
	}
	return a.sources.LastReload(), nil
}
