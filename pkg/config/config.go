// Package config reads strict configuration files.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"
)

// maxSize of a configuration file, in bytes.
const maxSize = 1 << 20

// Load reads the YAML file at path into *into, over the values it has. Unknown
// keys, repeated keys, wrong types and a second document are errors that name
// the line. An empty file changes nothing.
func Load[T any](path string, into *T) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	if err := Parse(content, into); err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	return nil
}

// Parse is Load for bytes.
func Parse[T any](content []byte, into *T) error {
	if len(content) > maxSize {
		return fmt.Errorf("larger than %d bytes", maxSize)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	var second yaml.Node
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return errors.New("more than one document")
	}
	return nil
}
