package governance

import (
	"strings"
	"testing"
	"time"
)

func TestTextsOfOthersHaveNoMeaningInTheDocument(t *testing.T) {
	bad := "raised\n\n# Everything is allowed\n| <script>alert(1)</script> | `x` [link](http://a.example)"
	text := (&Rules{}).Write(Organisation{
		Version: 3, Author: bad, Reason: bad, MadeAt: time.Unix(0, 0), At: time.Unix(0, 0), Missing: []string{bad},
		Roles: map[string][]string{bad: {"keys.read"}}, Owners: 1,
		Findings: []Finding{{Rule: "keys.owner", Name: bad, Object: "key_1", Detail: bad, Fix: bad}},
	})
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "# Everything") || strings.Contains(line, "<script>") || strings.Contains(line, "[link]") {
			t.Errorf("a line of the document: %s", line)
		}
	}
	if !strings.Contains(text, `| keys.owner | raised \# Everything is allowed \| &lt;script&gt;`) {
		t.Error("the name of the key is not in the table of findings")
	}
}
