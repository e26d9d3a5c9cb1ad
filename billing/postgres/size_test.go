package postgres_test

import (
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
)

// mostRowBytes is the maximum size of a row in its table.
const mostRowBytes = 700

// TestRowOfTheLedgerIsSmall checks the size of a row with all the values that are usually
// known, the maximum number of prefixes, and realistic ids.
func TestRowOfTheLedgerIsSmall(t *testing.T) {
	s, dsn := open(t, patient)
	c := newClient(t, s, strings.Repeat("k", 26))
	h := c.hold(100, noon)
	h.ID = "req_" + strings.Repeat("r", 26)
	h.IfLost.RequestID = h.ID
	if _, err := s.Reserve(t.Context(), h, noon); err != nil {
		t.Fatal(err)
	}
	bytes, took, cost := int64(4096), 1234*time.Millisecond, billing.Money(123_456)
	row := c.row(h.ID, 70, noon)
	row.Session, row.Endpoint, row.Region = strings.Repeat("s", 26), "https://api.openai.com/v1", ""
	row.Credential, row.BytesIn, row.BytesOut, row.FirstToken, row.Took, row.ProviderCost = "2", &bytes, &bytes, &took, &took, &cost
	row.Fingerprint, row.Prefixes = make([]byte, 12), make([]byte, 8*billing.PrefixSize)
	row.EndUser, row.ProviderRequestID, row.Tags = "user-7", "chatcmpl-"+strings.Repeat("x", 29), map[string]string{"feature": "checkout"}
	if _, err := s.Settle(t.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}}); err != nil {
		t.Fatal(err)
	}
	var size int
	if err := raw(t, dsn).QueryRow(t.Context(), "SELECT pg_column_size(e.*) FROM spend_events e").Scan(&size); err != nil {
		t.Fatal(err)
	}
	if t.Logf("%d bytes", size); size > mostRowBytes {
		t.Errorf("a row takes %d bytes", size)
	}
}
