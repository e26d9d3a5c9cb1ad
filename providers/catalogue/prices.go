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
	facts := fmt.Appendf(nil, "%q %q %s %d %d %d %d %d %q", p.Provider, p.Model, p.Since.UTC().Format(time.RFC3339Nano),
		p.Input, p.CacheRead, p.CacheWrite, p.Output, p.Request, p.Source)
	whole := billing.Price{Input: p.Input, CacheWrite: p.CacheWrite, Output: p.Output}.Resolved()
	if p = p.Resolved(); p.CacheWrite1h != whole.CacheWrite1h || p.Reasoning != whole.Reasoning || p.AudioInput != whole.AudioInput ||
		p.AudioOutput != whole.AudioOutput || p.ServiceTier != whole.ServiceTier || p.MinInput > 0 {
		facts = fmt.Appendf(facts, " %d %d %d %d %q %d", p.CacheWrite1h, p.Reasoning, p.AudioInput, p.AudioOutput, p.ServiceTier,
			p.MinInput)
	}
	sum := sha256.Sum256(facts)
	return "price_" + hex.EncodeToString(sum[:10])
}
