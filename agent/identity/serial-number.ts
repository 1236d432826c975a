import { readFile } from 'node:fs/promises'

import { AgentError, errorCode } from '../lib/errors.ts'

const maxBytes = 256

/**
 * The serial number of the appliance, as a file holds it: 1 to 64 characters of A-Z a-z 0-9 _ -. Throws an AgentError that
 * names the file.
 */
export async function readSerialNumber(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const code = errorCode(cause) ?? 'an unknown error'
    throw new AgentError(code === 'ENOENT' ? `${path} is not there` : `${path} cannot be read (${code})`, {
      retryable: true,
      hint: 'see why panorama-agent-serial.service did not write it: systemctl status panorama-agent-serial',
    })
  })
  const serial = text.slice(0, maxBytes).trim()
  if (/^[A-Za-z0-9_-]{1,64}$/.test(serial)) return serial
  throw new AgentError(`${path} holds no serial number: ${serial === '' ? 'it is empty' : JSON.stringify(serial)}`, {
    hint: 'write the serial number there: 1 to 64 characters of A-Z a-z 0-9 _ -',
  })
}
