package pages

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// defaultColor is the product's.
const defaultColor = "2457d6"

// The surfaces of pages, as in assets/style.css. Those named here are the ones on which
// text is hardest to read.
var (
	lightSurface = rgb{0xf4, 0xf5, 0xf8}
	darkSurface  = rgb{0x1b, 0x1e, 0x25}
	white        = rgb{0xff, 0xff, 0xff}
	black        = rgb{0, 0, 0}
)

// leastContrast is that of text, and a little more.
//
// Source: WCAG 2.2, success criterion 1.4.3.
const leastContrast = 4.55

var hexColor = regexp.MustCompile(`^[0-9a-f]{6}$`)

// colorOf is the colour of a theme, and the product's for what is none.
func colorOf(color string) string {
	if color = strings.ToLower(color); hexColor.MatchString(color) {
		return color
	}
	return defaultColor
}

// themeCSS is the style of a colour: it fills buttons, under text that can be read on it,
// and as ink, on light and on dark pages, it is as dark or as light as it must be.
func themeCSS(color string) string {
	c := parseColor(colorOf(color))
	on := white
	if contrast(c, black) > contrast(c, white) {
		on = black
	}
	return fmt.Sprintf(":root{--accent:%s;--on-accent:%s;--ink:%s}\n@media (prefers-color-scheme:dark){:root{--ink:%s}}\n",
		c, on, ink(c, lightSurface, black), ink(c, darkSurface, white))
}

// ink is a colour, mixed with another one as little as it takes to be read on a surface.
func ink(c, surface, with rgb) rgb {
	const steps = 64
	for i := range steps {
		if mixed := c.mix(with, float64(i)/steps); contrast(mixed, surface) >= leastContrast {
			return mixed
		}
	}
	return with
}

// rgb is a colour of sRGB.
type rgb struct{ r, g, b uint8 }

// parseColor reads six hexadecimal digits.
func parseColor(digits string) rgb {
	n, _ := strconv.ParseUint(digits, 16, 32) // colorOf has checked them
	return rgb{uint8(n >> 16), uint8(n >> 8), uint8(n)}
}

func (c rgb) String() string { return fmt.Sprintf("#%02x%02x%02x", c.r, c.g, c.b) }

// mix is a colour with a share of another one, 0 to 1.
func (c rgb) mix(with rgb, share float64) rgb {
	one := func(a, b uint8) uint8 { return uint8(math.Round(float64(a)*(1-share) + float64(b)*share)) }
	return rgb{one(c.r, with.r), one(c.g, with.g), one(c.b, with.b)}
}

// contrast is the ratio of two colours, 1 to 21.
//
// Source: WCAG 2.2, contrast ratio and relative luminance.
func contrast(a, b rgb) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func (c rgb) luminance() float64 {
	linear := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.r) + 0.7152*linear(c.g) + 0.0722*linear(c.b)
}
