package demo

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// visit asks the site ten times a second, so that there is something to see before anybody has opened the page. It is an
// ordinary client: what it counts as failed, a visitor would have seen.
func (d *demo) visit(ctx context.Context) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		name, err := ask(ctx, client, d.url+"/hello")
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			d.console.failed(err)
		default:
			if s := d.site(name); s != nil {
				d.console.answered(s.number)
			}
		}
	}
}

type failure string

func (f failure) Error() string { return string(f) }

func ask(ctx context.Context, c *http.Client, url string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", failure(resp.Status)
	}
	return strings.TrimSpace(string(b)), nil
}
