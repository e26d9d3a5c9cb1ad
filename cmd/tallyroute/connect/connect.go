package connect

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// keyVariable is the environment variable from which clients take the virtual key, if they
// support that.
const keyVariable = "TALLYROUTE_KEY"

// Settings are what a client needs to know.
type Settings struct {
	URL   string // of the public listener, without /v1
	Key   string // virtual key; "" is whatever TALLYROUTE_KEY holds
	Model string
}

// client is a client that can be connected.
type client struct {
	name, text string
	// file is the path of its configuration, relative to the home directory; nil if that
	// isn't a file that we can merge settings into.
	file  []string
	merge func(old []byte, s Settings) ([]byte, error)
}

// Names returns the names of the supported clients.
func Names() []string {
	var list []string
	for _, c := range clients() {
		list = append(list, c.name)
	}
	return list
}

// Writable returns the names of the clients whose files can be written.
func Writable() (list []string) {
	for _, c := range clients() {
		if c.merge != nil {
			list = append(list, c.name)
		}
	}
	return list
}

func find(name string) (client, error) {
	for _, c := range clients() {
		if c.name == name {
			return c, nil
		}
	}
	return client{}, fmt.Errorf("no such client: %s; known are %s", name, strings.Join(Names(), ", "))
}

// Text returns the instructions for connecting a client.
func Text(name string, s Settings) (string, error) {
	c, err := find(name)
	if err != nil {
		return "", err
	}
	key := s.Key
	if key == "" {
		key = "$" + keyVariable
	}
	return strings.NewReplacer("{url}", s.URL, "{key}", key, "{model}", s.Model).Replace(c.text), nil
}

// Written is what Write did.
type Written struct {
	File   string
	Backup string // the backup of the previous file; "" if there was none
}

// Write merges the settings into a client's configuration file below home. A backup of the
// previous file is kept beside it.
func Write(name string, s Settings, home string, now time.Time) (Written, error) {
	c, err := find(name)
	if err != nil {
		return Written{}, err
	}
	if c.merge == nil {
		return Written{}, fmt.Errorf("%s has no file that can be written; written are those of %s", name, strings.Join(Writable(), ", "))
	}
	w := Written{File: filepath.Join(append([]string{home}, c.file...)...)}
	old, err := os.ReadFile(w.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Written{}, err
	}
	merged, err := c.merge(old, s)
	if err != nil {
		return Written{}, fmt.Errorf("%s cannot be read, and stays as it is: %w", w.File, err)
	}
	if bytes.Equal(merged, old) {
		return w, nil
	}
	if err := os.MkdirAll(filepath.Dir(w.File), 0o700); err != nil {
		return Written{}, err
	}
	if old != nil {
		w.Backup = w.File + "." + now.UTC().Format("20060102T150405Z") + ".bak"
		if err := os.WriteFile(w.Backup, old, 0o600); err != nil { //nolint:gosec // a folder of the user's own
			return Written{}, err
		}
	}
	return w, replace(w.File, merged)
}

// replace replaces a file atomically: readers see either the old or the new contents.
func replace(file string, data []byte) error {
	next, err := os.CreateTemp(filepath.Dir(file), ".tallyroute-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(next.Name()) }() // already gone if all went well
	_, err = next.Write(data)
	if err = errors.Join(err, next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), file)
}
