package providers

import "tallyroute/providers/chat"

// Meters are all that a price can be given for.
func Meters() []string {
	return []string{
		MeterWebSearch, MeterWebFetch, MeterCodeExecution, MeterContainer, MeterFileSearch, MeterGrounding, MeterMaps, MeterImage,
		MeterCitation, chat.MeterCitationTokens, MeterToolCall, chat.MeterSearchMedium, chat.MeterSearchHigh,
	}
}

// Bound is how many units are held for a use: what the request allows, or what is
// seldom passed where it allows any number. What is used beyond is booked all the
// same, as an overrun.
func (u Use) Bound() int64 {
	if u.Most > 0 {
		return u.Most
	}
	switch u.Meter {
	case MeterContainer, MeterGrounding, MeterMaps, MeterImage, chat.MeterSearchMedium, chat.MeterSearchHigh:
		return 1
	case chat.MeterCitationTokens:
		return 50_000
	case MeterCitation:
		return 25
	}
	return 10
}
