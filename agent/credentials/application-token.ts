import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

const tokenBytes = 32

/** 256 random bits, in characters that need no quotes in a header, an environment file and a shell. */
export function newToken(): string {
  return randomBytes(tokenBytes).toString('base64url')
}

export function isToken(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text)
}

/** Takes as long whatever is offered: digests are compared, so that not even the length of a guess shows. */
export function isSameToken(offered: string, token: string): boolean {
  return timingSafeEqual(digest(offered), digest(token))
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
