package bus

// ConnectTimeout bounds Open.
const ConnectTimeout = connectTimeout
