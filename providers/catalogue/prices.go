package catalogue

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"tallyroute/billing"
)

// priceID is made of the facts, so that every replica and every start calls the
// same price by the same name, and a changed one by another.
func priceID(p billing.Price) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %s %d %d %d %d %d %q", p.Provider, p.Model, p.Since.UTC().Format(time.RFC3339Nano),
		p.Input, p.CacheRead, p.CacheWrite, p.Output, p.Request, p.Source))
	return "price_" + hex.EncodeToString(sum[:10])
}
