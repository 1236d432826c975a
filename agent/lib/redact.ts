const secretName =
  /pass(word|wd|phrase)?s?$|secret(string|binary|accesskey)?s?$|tokens?$|privatekeys?$|credentials?$|authorization$/i
const userInfo = /([a-z][a-z0-9+.-]*:\/\/)[^\s/?#]*@/gi // up to the last @: people write passwords with one in them
const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g

/** The value of a log field, or `[redacted]` when its name says that it is a secret. */
export function redactField(name: string, value: unknown): unknown {
  return secretName.test(name) ? '[redacted]' : value
}

/**
 * Takes out what gives a secret away by its shape, whatever it is called: user info in URLs and private keys. The
 * last line of defence: no code hands a secret to a log or an error message in the first place.
 */
export function redactText(text: string): string {
  return text.replace(userInfo, '$1[redacted]@').replace(privateKey, '[redacted private key]')
}
