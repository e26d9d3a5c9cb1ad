package config

import (
	"slices"
	"testing"
)

func TestFixedSettingsStayAndAreNamed(t *testing.T) {
	running, next := Default(), Default()
	next.Listen, next.Log.Format, next.Limits.MaxConnections, next.Overrun.StopPercent = "127.0.0.1:9", "text", 7, 1
	next.Log.Level, next.Routing.MaxAttempts, next.File = "debug", 2, "other.yaml"
	changed := next.KeepFixed(&running)
	if want := []string{"listen", "overrun.stop_percent", "limits.max_connections", "log.format"}; !slices.Equal(changed, want) {
		t.Errorf("%v; want %v", changed, want)
	}
	if next.Listen != running.Listen || next.Log.Format != running.Log.Format || next.Limits != running.Limits {
		t.Errorf("they did not stay: %+v", next)
	}
	if next.Log.Level != "debug" || next.Routing.MaxAttempts != 2 || next.File != "other.yaml" {
		t.Errorf("what can change did not: %+v", next)
	}
	if again := next.KeepFixed(&running); len(again) != 0 {
		t.Errorf("named again: %v", again)
	}
}
