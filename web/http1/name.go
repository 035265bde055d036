package http1

// names holds the usual spelling of each known field.
var names = [...]string{
	Host:               "Host",
	Connection:         "Connection",
	ContentLength:      "Content-Length",
	TransferEncoding:   "Transfer-Encoding",
	TE:                 "TE",
	Trailer:            "Trailer",
	Upgrade:            "Upgrade",
	KeepAlive:          "Keep-Alive",
	ProxyConnection:    "Proxy-Connection",
	ProxyAuthenticate:  "Proxy-Authenticate",
	ProxyAuthorization: "Proxy-Authorization",
	Expect:             "Expect",
	XForwardedFor:      "X-Forwarded-For",
	XForwardedProto:    "X-Forwarded-Proto",
	XForwardedHost:     "X-Forwarded-Host",
	XForwardedPort:     "X-Forwarded-Port",
	XForwardedPrefix:   "X-Forwarded-Prefix",
	XForwardedServer:   "X-Forwarded-Server",
	XRealIP:            "X-Real-IP",
	Forwarded:          "Forwarded",
	Cookie:             "Cookie",
	SetCookie:          "Set-Cookie",
	Date:               "Date",
	Server:             "Server",
	Via:                "Via",
	UserAgent:          "User-Agent",
	Referer:            "Referer",
	Authorization:      "Authorization",
	ContentType:        "Content-Type",
	ContentEncoding:    "Content-Encoding",
	AcceptEncoding:     "Accept-Encoding",
	Location:           "Location",
	Vary:               "Vary",
	ETag:               "ETag",
	RetryAfter:         "Retry-After",
	AltSvc:             "Alt-Svc",
	HTTP2Settings:      "HTTP2-Settings",
}

// String is the usual spelling of the name, empty for Other.
func (id ID) String() string {
	if int(id) < len(names) {
		return names[id]
	}
	return ""
}

// Lookup returns the ID of a field name, compared without case, and Other for one that is not known.
func Lookup(name []byte) ID {
	id := candidate(name)
	if id == Other {
		return Other
	}
	want := names[id]
	if string(name) == want { // nearly every client and origin uses the usual spelling
		return id
	}
	for i := range len(want) {
		if lower(name[i]) != lower(want[i]) {
			return Other
		}
	}
	return id
}

// candidate is the one known name that has this length and these letters, so that a single comparison decides.
func candidate(name []byte) ID {
	if len(name) < 2 || len(name) > 19 {
		return Other
	}
	switch len(name)<<8 | int(lower(name[0])) {
	case 2<<8 | 't':
		return TE
	case 3<<8 | 'v':
		return Via
	case 4<<8 | 'd':
		return Date
	case 4<<8 | 'e':
		return ETag
	case 4<<8 | 'h':
		return Host
	case 4<<8 | 'v':
		return Vary
	case 6<<8 | 'c':
		return Cookie
	case 6<<8 | 'e':
		return Expect
	case 6<<8 | 's':
		return Server
	case 7<<8 | 'a':
		return AltSvc
	case 7<<8 | 'r':
		return Referer
	case 7<<8 | 't':
		return Trailer
	case 7<<8 | 'u':
		return Upgrade
	case 8<<8 | 'l':
		return Location
	case 9<<8 | 'f':
		return Forwarded
	case 9<<8 | 'x':
		return XRealIP
	case 10<<8 | 'c':
		return Connection
	case 10<<8 | 'k':
		return KeepAlive
	case 10<<8 | 's':
		return SetCookie
	case 10<<8 | 'u':
		return UserAgent
	case 11<<8 | 'r':
		return RetryAfter
	case 12<<8 | 'c':
		return ContentType
	case 13<<8 | 'a':
		return Authorization
	case 14<<8 | 'c':
		return ContentLength
	case 14<<8 | 'h':
		return HTTP2Settings
	case 15<<8 | 'a':
		return AcceptEncoding
	case 15<<8 | 'x':
		return XForwardedFor
	case 16<<8 | 'c':
		return ContentEncoding
	case 16<<8 | 'p':
		return ProxyConnection
	case 16<<8 | 'x':
		if lower(name[12]) == 'h' {
			return XForwardedHost
		}
		return XForwardedPort
	case 17<<8 | 't':
		return TransferEncoding
	case 17<<8 | 'x':
		return XForwardedProto
	case 18<<8 | 'p':
		return ProxyAuthenticate
	case 18<<8 | 'x':
		if lower(name[12]) == 'p' {
			return XForwardedPrefix
		}
		return XForwardedServer
	case 19<<8 | 'p':
		return ProxyAuthorization
	}
	return Other
}
