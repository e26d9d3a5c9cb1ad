// Package countries says in which country an address is, by a file in MaxMind's format
// that an administrator brings. Nobody else is asked.
package countries

import (
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// File is such a file. It is read again when it has changed. Its zero value knows nothing.
type File struct {
	mu      sync.Mutex
	path    string
	size    int64
	changed time.Time
	reader  *maxminddb.Reader
}

// Use has the file at a path be used; "" is none. What was read before stays in use where
// the file cannot be read.
func (f *File) Use(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if path == "" {
		f.path, f.reader = "", nil
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if f.reader != nil && f.path == path && f.size == info.Size() && f.changed.Equal(info.ModTime()) {
		return nil
	}
	// In memory, and not mapped: whoever replaces the file may write into it.
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	reader, err := maxminddb.OpenBytes(text)
	if err != nil {
		return err
	}
	f.path, f.size, f.changed, f.reader = path, info.Size(), info.ModTime(), reader
	return nil
}

// Country is the ISO code of the country that an address is in, "" where it is not known.
func (f *File) Country(a netip.Addr) string {
	f.mu.Lock()
	reader := f.reader
	f.mu.Unlock()
	if reader == nil || !a.IsValid() {
		return ""
	}
	found := reader.Lookup(a.Unmap().WithZone(""))
	for _, at := range []string{"country", "registered_country"} {
		code := ""
		if err := found.DecodePath(&code, at, "iso_code"); err == nil && code != "" {
			return code
		}
	}
	return ""
}
