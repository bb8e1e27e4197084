package authzen

import "testing"

func TestLoneSurrogate(t *testing.T) {
	for text, want := range map[string]bool{
		`{}`: false, `"\ud83d\ude00"`: false, `"a\\ud800"`: false, `"\u00e9 \n"`: false, `"\\\ud83d\ude00"`: false,
		`"\ud800"`: true, `"\udfff"`: true, `"\ud800\ud800"`: true, `"\ud800x\udc00"`: true, `"\udc00\ud800"`: true, `"\\\ud800"`: true, `"\ud800\n"`: true,
	} {
		if got := loneSurrogate([]byte(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
