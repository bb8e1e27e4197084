// Package client decides what may be registered of OAuth clients.
package client
