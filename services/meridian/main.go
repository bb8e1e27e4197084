// Command meridian hosts Meridian's services and is their command line.
package main

import (
	"os"

	"github.com/meridian-iam/meridian/services/meridian/internal/cli"
)

func main() { os.Exit(cli.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
