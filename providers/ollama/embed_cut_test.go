package ollama

import "testing"

// Older servers return whole vectors, whatever dimensions were requested.
func TestVectorsHaveAsManyNumbersAsWereAskedFor(t *testing.T) {
	for vector, want := range map[string]string{
		"[3,4,12]": "[0.6,0.8]", "[0.6,0.8]": "[0.6,0.8]", "[0.5]": "[0.5]", "[0,0,1]": "[0,0,1]", `["x",1,2]`: `["x",1,2]`,
		"[1e-9,0,5]": "[1,0]",
	} {
		if got := string(cut([]byte(vector), 2)); got != want {
			t.Errorf("%s became %s, want %s", vector, got, want)
		}
	}
}
