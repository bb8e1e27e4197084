package rpc

// IsLocale is for its fuzz test.
var IsLocale = isLocale
