import { createPrivateKey, X509Certificate } from 'node:crypto'

/** A certificate and what should be its private key, in PEM. */
export interface PairTexts {
  readonly certificate: string
  readonly privateKey: string
}

/** What people call the two: paths, or names in an archive. */
export type PairNames = PairTexts

export interface PairFault {
  readonly message: string
  readonly hint: string
}

const certificateHint = 'put a certificate that begins with -----BEGIN CERTIFICATE----- there'

/** What keeps a certificate and a key from being used together; undefined where nothing does. Never holds what is in them. */
export function pairFault(texts: PairTexts, names: PairNames): PairFault | undefined {
  const { certificate, privateKey } = texts
  if (isKey(certificate) && isCertificate(privateKey)) {
    return {
      message: `${names.certificate} holds a private key, and ${names.privateKey} a certificate`,
      hint: 'exchange the two',
    }
  }
  return certificateFault(certificate, names.certificate) ?? keyFault(texts, names)
}

function certificateFault(text: string, name: string): PairFault | undefined {
  const fault = textFault(text, name)
  if (fault !== undefined) return fault
  if (isKey(text) && !isCertificate(text)) {
    return { message: `${name} holds a private key, and no certificate`, hint: certificateHint }
  }
  if (certificateIn(text) !== undefined) return undefined
  return { message: `${name} holds no certificate in PEM`, hint: certificateHint }
}

function keyFault({ certificate, privateKey }: PairTexts, names: PairNames): PairFault | undefined {
  const name = names.privateKey
  const fault = textFault(privateKey, name)
  if (fault !== undefined) return fault
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(privateKey)) {
    return {
      message: `the private key in ${name} is encrypted`,
      hint: 'take its passphrase off, where the appliance cannot be asked for it: openssl pkey -in FILE -out private.key',
    }
  }
  const key = keyIn(privateKey)
  if (key === undefined) {
    const what = isCertificate(privateKey) ? 'a certificate, and no private key' : 'no private key in PEM'
    return { message: `${name} holds ${what}`, hint: 'put the unencrypted private key of the certificate there' }
  }
  const chain = certificate.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []
  const owner = chain.findIndex((pem) => certificateIn(pem)?.checkPrivateKey(key) === true)
  if (owner === 0) return undefined
  if (owner > 0) {
    return {
      message: `${names.certificate} begins with another certificate than that of ${name}`,
      hint: 'put the certificate of the appliance first, then those that issued it',
    }
  }
  return {
    message: `${name} is not the key of ${names.certificate}`,
    hint: 'put certificate and key of the same thing there',
  }
}

function textFault(text: string, name: string): PairFault | undefined {
  if (text.trim() === '') return { message: `${name} is empty`, hint: 'copy it there once more' }
  if (!text.includes('\u0000')) return undefined
  return { message: `${name} is UTF-16, or no text`, hint: 'save it as plain text, in ASCII or UTF-8' }
}

function isKey(text: string): boolean {
  return /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/.test(text)
}

function isCertificate(text: string): boolean {
  return text.includes('-----BEGIN CERTIFICATE-----')
}

function certificateIn(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem)
  } catch {
    return undefined
  }
}

function keyIn(pem: string): ReturnType<typeof createPrivateKey> | undefined {
  try {
    return createPrivateKey(pem)
  } catch {
    return undefined
  }
}
