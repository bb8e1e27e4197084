package pages

import (
	"fmt"
	"strings"
	"testing"

	"rsc.io/qr"

	"github.com/meridian-iam/meridian/pkg/secret"
)

// TestPicture: the path has the modules of the code, each where it is, and nothing in the
// margin.
func TestPicture(t *testing.T) {
	const text = "otpauth://totp/Meridian:alice%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Meridian"
	drawn, err := pictureOf(secret.NewString(text))
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	dark := map[[2]int]bool{}
	for part := range strings.SplitSeq(strings.TrimSuffix(drawn.Path, "z"), "z") {
		var x, y, width, back int
		if _, err := fmt.Sscanf(part, "M%d %dh%dv1H%d", &x, &y, &width, &back); err != nil || back != x || width < 1 {
			t.Fatalf("part %q: %v", part, err)
		}
		for i := range width {
			dark[[2]int{x + i, y}] = true
		}
	}
	if drawn.Size != code.Size+8 {
		t.Errorf("%d modules of %d", drawn.Size, code.Size)
	}
	for y := range drawn.Size {
		for x := range drawn.Size {
			if dark[[2]int{x, y}] != code.Black(x-quiet, y-quiet) {
				t.Fatalf("module %d, %d", x, y)
			}
		}
	}
}

// TestPictureOfTooMuch: the error says nothing of the secret.
func TestPictureOfTooMuch(t *testing.T) {
	if _, err := pictureOf(secret.NewString(strings.Repeat("s3cret", 1000))); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
}

// TestSecretsOfViews: a view that is printed shows no secret.
func TestSecretsOfViews(t *testing.T) {
	hidden := secret.NewString("JBSWY3DP")
	for _, v := range []View{AddTOTP{URI: hidden, Secret: hidden}, RecoveryCodes{Codes: []secret.String{hidden}}} {
		if text := fmt.Sprintf("%v %+v %#v", v, v, v); strings.Contains(text, "JBSWY3DP") {
			t.Errorf("%T is printed as %s", v, text)
		}
	}
}
