package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"tallyroute/cmd/tallyroute/cli"
)

// version is set by the linker: -X main.version=1.2.3.
var version string

// versionString returns the version, or else what the build info says.
func versionString() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "0.1.0-dev+" + s.Value[:12]
		}
	}
	return "0.1.0-dev"
}

// versionCommand is "tallyroute version".
type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(a *cli.Context) error {
	_, err := fmt.Fprintf(a.Stdout, "tallyroute %s %s %s/%s\n", versionString(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
