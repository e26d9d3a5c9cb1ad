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
	// files lists the names that its configuration file may have, the usual one first; nil if we
	// can't merge settings into it.
	files    []string
	folder   folder
	syntax   syntax
	settings func(s Settings) []setting
}

// folder is the directory of a client's configuration: below the one that a variable names, or
// else below the home directory.
type folder struct {
	variable     string
	below, usual []string
}

// Home is where a user's clients keep their files.
type Home struct {
	Dir    string
	Getenv func(name string) string // nil means no variable is set
}

func (h Home) path(f folder) string {
	if h.Getenv != nil {
		if dir := h.Getenv(f.variable); dir != "" {
			return filepath.Join(append([]string{dir}, f.below...)...)
		}
	}
	return filepath.Join(append([]string{h.Dir}, f.usual...)...)
}

// file returns the client's file: the first one that exists, or the usual one.
func (c client) file(h Home) string {
	dir := h.path(c.folder)
	for _, name := range c.files {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name)
		}
	}
	return filepath.Join(dir, c.files[0])
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
		if c.settings != nil {
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
	key, secret := s.Key, s.Key
	if key == "" {
		key, secret = "$"+keyVariable, "sk-tr-…" //nolint:gosec // a placeholder
	}
	return strings.NewReplacer("{url}", s.URL, "{key}", key, "{secret}", secret, "{model}", s.Model).Replace(c.text), nil
}

// Written is what Write did.
type Written struct {
	File   string
	Backup string // the backup of the previous file; "" if there was none
}

// Write merges the settings into a client's configuration file. A backup of the previous file is
// kept beside it.
func Write(name string, s Settings, home Home, now time.Time) (Written, error) {
	c, err := find(name)
	if err != nil {
		return Written{}, err
	}
	if c.settings == nil {
		return Written{}, fmt.Errorf("%s has no file that can be written; written are those of %s", name, strings.Join(Writable(), ", "))
	}
	w := Written{File: c.file(home)}
	old, err := os.ReadFile(w.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Written{}, err
	}
	merged, err := c.syntax.merged(old, c.settings(s))
	if err != nil {
		return Written{}, fmt.Errorf("%s cannot be merged into, and stays as it is: %w", w.File, err)
	}
	if old != nil && bytes.Equal(merged, old) {
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
	widest := fs.ModePerm
	if s.Key != "" {
		widest = 0o600
	}
	return w, replace(w.File, merged, widest)
}

// replace replaces a file atomically: readers see either the old or the new contents. A symbolic
// link keeps pointing to its file, whose mode is kept unless it now contains a secret.
func replace(file string, data []byte, widest fs.FileMode) error {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	} else if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%s is a link to a file that is not there", file)
	}
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(file); err == nil {
		mode = info.Mode().Perm() & widest
	}
	next, err := os.CreateTemp(filepath.Dir(file), ".tallyroute-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(next.Name()) }() // already gone if all went well
	_, err = next.Write(data)
	if err = errors.Join(err, next.Chmod(mode), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), file)
}
