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

func TestTheDocumentSaysHowSecretsAreProtectedOrThatTheyAreNot(t *testing.T) {
	open := (&Rules{}).Write(Organisation{Setup: &Setup{Facts: Facts{Transport: Transport{Database: "prefer"}}}})
	safe := Transport{Public: "1.2", Admin: "1.3", Demanded: true, ClientCerts: true, HSTS: true, Database: "verify-full"}
	closed := (&Rules{}).Write(Organisation{Setup: &Setup{Facts: Facts{Sealing: "vault", Transport: safe}}})
	for _, setting := range []string{
		"tls.cert_file", "admin_tls.cert_file", "require_tls", "admin_tls.client_ca_file", "sslmode=prefer", "secrets.encryption_key",
	} {
		if !strings.Contains(open, "("+setting+")") || strings.Contains(closed, "("+setting+")") {
			t.Errorf("%s is no gap where it is missing, or one where it is there", setting)
		}
	}
	for _, want := range []string{
		"Clients reach the router by TLS 1.2", "Administrators reach the router by TLS 1.3", "read from: vault", "verify-full",
	} {
		if !strings.Contains(closed, want) {
			t.Errorf("no %s in\n%s", want, closed)
		}
	}
	for _, article := range []string{"| Art. 15 |", "| Art. 17 |", "| § 1798.105 |", "| § 1798.110 |"} {
		if !strings.Contains(open, article) {
			t.Errorf("no %s", article)
		}
	}
}
