package displayname

import (
	"fmt"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/services/identity/internal/writing"
)

// MaxFoldBytes bounds what a unique name folds to. Only names of rare letters fold
// to more.
const MaxFoldBytes = 1024

// CheckUnique is Check for a name that is unique among others.
//
// Errors: those of Check; INVALID_FIELD of the field, by rule length, for a name
// that folds to more than MaxFoldBytes.
func CheckUnique(field, text string) (string, error) {
	name, err := Check(field, text)
	if err != nil {
		return "", err
	}
	if len(Fold(name)) > MaxFoldBytes {
		return "", fault.Field(field, "length", fmt.Sprintf("must have at most %d bytes when case-folded", MaxFoldBytes))
	}
	return name, nil
}

// Fold returns what names are compared, sorted and searched by without regard to
// case: UTF-8 in NFKC, case-folded, of the whole name.
func Fold(name string) []byte { return []byte(writing.Fold(cut(name, MaxBytes))) }
