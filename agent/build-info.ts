/** The version of the package: that of package.json in the form of Debian; a test holds them together. */
export const agentVersion = '0.1.0'

/** No server can be right about a time before this release was made. */
export const releasedAtMs = Date.UTC(2026, 10, 24)
