package pages

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
)

//go:embed assets
var assetFiles embed.FS

// assetTypes are the assets, and what they are.
var assetTypes = map[string]string{
	"style.css": cssType, "passkey.js": jsType, "passkey_new.js": jsType, "form_post.js": jsType, "icon.svg": "image/svg+xml",
}

const (
	cssType = "text/css; charset=utf-8"
	jsType  = "text/javascript; charset=utf-8"
)

// asset is a file, and the version that its address names.
type asset struct {
	kind, version string
	data          []byte
}

func newAsset(kind string, data []byte) asset {
	sum := sha256.Sum256(data)
	return asset{kind: kind, version: hex.EncodeToString(sum[:8]), data: data}
}

// assets are what pages load, but for themes.
type assets struct{ files map[string]asset }

func loadAssets() (*assets, error) {
	out := &assets{files: map[string]asset{}}
	for name, kind := range assetTypes {
		data, err := assetFiles.ReadFile("assets/" + name)
		if err != nil {
			return nil, err
		}
		out.files[name] = newAsset(kind, data)
	}
	return out, nil
}

// path is where an asset is, with its version.
func (a *assets) path(name string) string { return versioned(name, a.files[name]) }

func versioned(name string, a asset) string { return fmt.Sprintf("/assets/%s?v=%s", name, a.version) }

// themePath is where the style of a colour is.
func themePath(color string) string {
	color = colorOf(color)
	return versioned("theme-"+color+".css", theme(color))
}

// theme is the style of a colour, made when it is asked for.
func theme(color string) asset { return newAsset(cssType, []byte(themeCSS(color))) }

func (a *assets) find(name string) (asset, bool) {
	if found, ok := a.files[name]; ok {
		return found, true
	}
	color, prefixed := strings.CutPrefix(name, "theme-")
	color, suffixed := strings.CutSuffix(color, ".css")
	if !prefixed || !suffixed || !hexColor.MatchString(color) {
		return asset{}, false
	}
	return theme(color), true
}

// Assets serves GET /assets/…, what pages load. It is the same for everybody. An address
// with the version of this program is kept by browsers for good; one with another version
// is a page's of an older or newer program, and is not kept.
func (p *Pages) Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		name, _ := strings.CutPrefix(r.URL.Path, "/assets/")
		found, ok := p.assets.find(name)
		if !ok {
			http.Error(w, "not found", http.StatusNotFound)
			return
		}
		if r.URL.Query().Get("v") == found.version {
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		h.Set("Content-Type", found.kind)
		_, _ = w.Write(found.data) // who asked is gone
	})
}
