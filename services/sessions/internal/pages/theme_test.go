package pages

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestSurfaces: the colours that theme.go counts on are those of the style.
func TestSurfaces(t *testing.T) {
	style, err := os.ReadFile("assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	for name, surfaces := range map[string][2]string{"page": {lightSurface.String(), ""}, "card": {"", darkSurface.String()}} {
		found := regexp.MustCompile(`--`+name+`: (#[0-9a-f]{6});`).FindAllStringSubmatch(string(style), -1)
		if len(found) != 2 {
			t.Fatalf("--%s is set %d times", name, len(found))
		}
		for i, want := range surfaces {
			if got := found[i][1]; want != "" && got != want {
				t.Errorf("--%s is %s, and theme.go has %s", name, got, want)
			}
		}
	}
}

// TestPalette: what is not of a theme can be read, light and dark.
//
// Source: WCAG 2.2, success criteria 1.4.3 and 1.4.11.
func TestPalette(t *testing.T) {
	style, err := os.ReadFile("assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	colors := map[string][]rgb{}
	for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(string(style), -1) {
		colors[m[1]] = append(colors[m[1]], parseColor(m[2]))
	}
	for _, pair := range []struct {
		front, back string
		least       float64
	}{
		{"text", "page", 4.5},
		{"text", "card", 4.5},
		{"soft", "page", 4.5},
		{"soft", "card", 4.5},
		{"line", "card", 3},
		{"bad", "bad-fill", 4.5},
		{"bad", "card", 3},
		{"warn", "warn-fill", 4.5},
	} {
		for i, mode := range []string{"light", "dark"} {
			if got := contrast(colors[pair.front][i], colors[pair.back][i]); got < pair.least {
				t.Errorf("%s: %s on %s has a contrast of %.2f", mode, pair.front, pair.back, got)
			}
		}
	}
}

func TestContrast(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want string
	}{{"000000", "ffffff", "21.00"}, {"ffffff", "ffffff", "1.00"}, {"777777", "ffffff", "4.48"}, {"767676", "ffffff", "4.54"}} {
		if got := fmt.Sprintf("%.2f", contrast(parseColor(tc.a), parseColor(tc.b))); got != tc.want {
			t.Errorf("contrast of %s and %s is %s, want %s", tc.a, tc.b, got, tc.want)
		}
	}
}

func TestTheme(t *testing.T) {
	for color, want := range map[string]string{
		"2457d6": "#2457d6", "FFCC00": "#ffcc00", "": "#" + defaultColor, "red": "#" + defaultColor, "#ffcc00": "#" + defaultColor,
		"ffcc0": "#" + defaultColor, "ffcc000": "#" + defaultColor, "ffcc0}": "#" + defaultColor, "ffcc00\n": "#" + defaultColor,
	} {
		if got := themeCSS(color); !strings.HasPrefix(got, ":root{--accent:"+want+";") {
			t.Errorf("the theme of %q is %s", color, got)
		}
	}
}

var themed = regexp.MustCompile(`\A:root\{--accent:(#[0-9a-f]{6});--on-accent:(#[0-9a-f]{6});--ink:(#[0-9a-f]{6})\}\n@media \(prefers-color-scheme:dark\)\{:root\{--ink:(#[0-9a-f]{6})\}\}\n\z`)

// FuzzTheme: whatever a colour is, nothing else gets into the style, and what is written
// in it or on it can be read.
func FuzzTheme(f *testing.F) {
	for _, seed := range []string{"000000", "ffffff", "777777", "ff0000", "00ff00", "0000ff", "FFCC00", "}*{color:red", "12345"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, color string) {
		m := themed.FindStringSubmatch(themeCSS(color))
		if m == nil {
			t.Fatalf("the theme of %q is %s", color, themeCSS(color))
		}
		of := func(i int) rgb { return parseColor(strings.TrimPrefix(m[i], "#")) }
		for _, pair := range [][2]rgb{
			{of(1), of(2)}, {of(3), lightSurface}, {of(3), white}, {of(4), darkSurface}, {of(4), parseColor("111318")},
		} {
			if got := contrast(pair[0], pair[1]); got < 4.5 {
				t.Errorf("%q: %s on %s has a contrast of %.2f", color, pair[0], pair[1], got)
			}
		}
	})
}
