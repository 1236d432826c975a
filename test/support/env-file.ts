import { readFile } from 'node:fs/promises'

/** The variables of an environment file without quotes, as systemd and docker read it. */
export async function readEnvFile(path: string): Promise<Readonly<Record<string, string>>> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '')
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
}
