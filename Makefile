# make test    everything, on a fresh machine with Go; about a quarter of an hour on two cores
# make quick   the tests that need seconds
# make soak    the same tests at full counts, fuzzing and the timed comparisons; hours
# make bench   the comparisons with nginx, HAProxy, Caddy and keepalived, into docs/performance.md; most of an hour

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT     = mvdan.cc/gofumpt@v0.12.0
FUZZTIME    = 10m

.PHONY: build test quick lint programs soak fuzz bench

build:
	go build -o skein .

# The Go tests come last, so that their summary is the end of the output.
test: programs lint
	go test -race -timeout 20m ./...

quick:
	go test -short ./...

lint:
	go vet ./...
	go run $(STATICCHECK) ./...
	@files=$$(go run $(GOFUMPT) -l .); if [ -n "$$files" ]; then echo "not formatted; run: go run $(GOFUMPT) -w ." $$files; exit 1; fi

programs:
	./test/debian

soak: programs lint fuzz
	SKEIN_SOAK=1 go test -race -count 1 -timeout 12h ./...
	SKEIN_SOAK=1 go test -count 1 -timeout 2h ./test/saturation
	$(MAKE) bench

# Every fuzz target in turn: Go fuzzes one at a time.
fuzz:
	@for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "fuzz $$p $$f"; \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

bench: programs
	go run ./bench -md docs/performance.md
	go run ./bench lateness -md docs/performance.md
	go run ./bench/failover -md docs/performance.md
