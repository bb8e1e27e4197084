// Package region is the form of a region's name.
package region

import (
	"fmt"
	"regexp"
	"strings"
)

// form: names become parts of subjects, of stream names and of file names.
var form = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)

// Valid says whether a text can be the name of a region: 1 to 32 lower-case
// letters, digits and dashes, a letter first and no dash last. "-mirror-" is kept
// for the names of mirrors.
func Valid(name string) bool { return form.MatchString(name) && !strings.Contains(name, "-mirror-") }

// Check returns an error that says what a name must be like, for people.
func Check(name string) error {
	if Valid(name) {
		return nil
	}
	return fmt.Errorf("%q is not a region: want 1 to 32 lower-case letters, digits and dashes, a letter first and no dash last, as eu-west", name)
}
