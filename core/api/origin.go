package api

import "net/http"

// sameOrigin refuses what a page of another site makes a browser send: requests that change something, and WebSockets. Programs that
// are no browsers send neither Sec-Fetch-Site nor Origin and are not concerned; reading is safe without it, because nothing here lets
// another site read an answer.
func sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		judged := r
		if r.Header.Get("Upgrade") != "" {
			// A WebSocket begins with a GET, which counts as safe; it is not.
			judged = r.WithContext(r.Context())
			judged.Method = http.MethodPost
		}
		if err := protection.Check(judged); err != nil {
			writeProblem(w, http.StatusForbidden, "a page of another site made this request: "+clip(err.Error()))
			return
		}
		next.ServeHTTP(w, r)
	})
}
