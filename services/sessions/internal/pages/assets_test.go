package pages_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
)

func get(t testing.TB, p *pages.Pages, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	p.Assets().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w
}

// TestAssets: all that pages load is there, and is kept.
func TestAssets(t *testing.T) {
	p := open(t)
	seen := map[string]bool{}
	for _, v := range shown() {
		for n := range parse(t, write(t, p, v, "en").Body.String()).Descendants() {
			path := ""
			if n.Type == html.ElementNode && (n.Data == "script" || n.Data == "link") {
				path = attribute(n, "src") + attribute(n, "href")
			}
			if path == "" || seen[path] {
				continue
			}
			seen[path] = true
			w := get(t, p, http.MethodGet, path)
			if w.Code != http.StatusOK || w.Body.Len() == 0 {
				t.Errorf("%s answers %d", path, w.Code)
			}
			if got := w.Header().Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
				t.Errorf("%s: Cache-Control is %q", path, got)
			}
			if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cross-Origin-Resource-Policy") != "same-origin" {
				t.Errorf("%s: headers are %v", path, w.Header())
			}
		}
	}
	if len(seen) != 7 { // style, two themes, icon, three scripts
		t.Errorf("pages load %v", seen)
	}
}

func TestAssetsRefuse(t *testing.T) {
	p := open(t)
	for name, tc := range map[string]struct {
		method, path, cache string
		status              int
	}{
		"another program's version": {http.MethodGet, "/assets/style.css?v=0000", "no-store", http.StatusOK},
		"no version":                {http.MethodGet, "/assets/theme-ffcc00.css", "no-store", http.StatusOK},
		"an unknown file":           {http.MethodGet, "/assets/other.css", "no-store", http.StatusNotFound},
		"no file":                   {http.MethodGet, "/assets/", "no-store", http.StatusNotFound},
		"a file of the program":     {http.MethodGet, "/assets/../pages.go", "no-store", http.StatusNotFound},
		"no colour":                 {http.MethodGet, "/assets/theme-red.css", "no-store", http.StatusNotFound},
		"capitals":                  {http.MethodGet, "/assets/theme-FFCC00.css", "no-store", http.StatusNotFound},
		"a post":                    {http.MethodPost, "/assets/style.css", "no-store", http.StatusMethodNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			w := get(t, p, tc.method, tc.path)
			if w.Code != tc.status || w.Header().Get("Cache-Control") != tc.cache {
				t.Errorf("answer %d, Cache-Control %q", w.Code, w.Header().Get("Cache-Control"))
			}
		})
	}
}

func TestAssetTypes(t *testing.T) {
	p := open(t)
	for path, want := range map[string]string{
		"/assets/style.css": "text/css", "/assets/theme-ffcc00.css": "text/css", "/assets/passkey.js": "text/javascript", "/assets/form_post.js": "text/javascript",
		"/assets/icon.svg": "image/svg+xml",
	} {
		if got := get(t, p, http.MethodGet, path).Header().Get("Content-Type"); !strings.HasPrefix(got, want) {
			t.Errorf("%s is %s", path, got)
		}
	}
}
