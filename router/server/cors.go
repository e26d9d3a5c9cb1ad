package server

import (
	"net/http"
	"slices"
	"strings"
)

// anyOrigin in Options.Origins lets every page in.
const anyOrigin = "*"

// Bounds of what a preflight may ask for.
const (
	preflightAge  = "600" // seconds
	mostPreflight = 2 << 10
)

// shared lets pages of the given origins use the API from a browser. Without any the
// answers say nothing of it, so that browsers keep other pages out.
func shared(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		if origin == "" || !slices.Contains(origins, anyOrigin) && !slices.Contains(origins, strings.ToLower(origin)) {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "*")
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			next.ServeHTTP(w, r)
			return
		}
		h.Add("Vary", "Access-Control-Request-Headers")
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST")
		if asked := r.Header.Get("Access-Control-Request-Headers"); len(asked) <= mostPreflight && isHeaderList(asked) {
			h.Set("Access-Control-Allow-Headers", asked)
		}
		h.Set("Access-Control-Max-Age", preflightAge)
		w.WriteHeader(http.StatusNoContent)
	})
}

// isHeaderList reports a list of names of headers.
func isHeaderList(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_, ", r)
	})
}
