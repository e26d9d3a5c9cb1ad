package config

import (
	"strings"
	"testing"
)

// TestChannelsChooseWhatThereIs: channels can't have empty lists, or kinds that nothing emits.
func TestChannelsChooseWhatThereIs(t *testing.T) {
	for choice, want := range map[string]string{
		"kinds: [limit, secret, leak, incident]": "", "kinds: []": "kinds: is empty", "teams: []": "teams: is empty",
		"kinds: [weather]": "want some of", "kinds: [policy]": "want some of", "kinds: [test]": "want some of",
	} {
		_, err := configOf(t, "alerts: {channels: [{name: chat, kind: slack, url: \"env:SLACK_URL\", "+choice+"}]}\n")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", choice, err, want)
		}
	}
}
