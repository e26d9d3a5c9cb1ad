package alert

import (
	"testing"
	"time"
)

func TestCertificateThatHasExpiredIsNotSaidToExpireSoon(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for until, title := range map[time.Time]string{
		now.Add(time.Hour):     "A certificate expires soon",
		now.AddDate(-5, 0, 0):  "A certificate has expired",
		now:                    "A certificate has expired",
		now.Add(-time.Second):  "A certificate has expired",
		now.Add(2 * time.Hour): "A certificate expires soon",
	} {
		if a, told := OfCertificate(CertificateFile{File: "a.crt", Until: until}, now); !told || a.Title != title {
			t.Errorf("%v: %v, %q", until, told, a.Title)
		}
	}
}
