import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export const bucket = 'bench'
export const accessPoint = 'arn:aws:s3:us-west-2:123456789012:accesspoint/bench'

export interface Listed {
  readonly key: string
  readonly sizeBytes: number
  readonly mtimeMs: number
  /** Default: as nginx makes it. */
  readonly etag?: string
}

const keysPerPage = 1000

/** nginx on loopback, with files as objects and listings made beforehand, so that the server is not what is measured. */
export class StaticS3 implements AsyncDisposable {
  readonly folder: string
  readonly port: number
  readonly #child

  private constructor(folder: string, port: number) {
    this.folder = folder
    this.port = port
    this.#child = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: 'inherit' })
    process.once('exit', () => this.#child.kill('SIGTERM')) // whatever ends the measurement
  }

  static async start(folder: string): Promise<StaticS3> {
    const port = await freePort()
    for (const name of ['lists', `data/${bucket}`, 'tmp']) await mkdir(join(folder, name), { recursive: true })
    await writeFile(join(folder, 'lists/none-0001.xml'), '<LocationConstraint/>')
    await writeFile(join(folder, 'access.log'), '')
    await writeFile(join(folder, 'nginx.conf'), config(folder, port))
    const server = new StaticS3(folder, port)
    await connectable(port)
    return server
  }

  /** `listedAs` is the name of the first folder of the keys. */
  async list(listedAs: string, objects: readonly Listed[]): Promise<void> {
    const pages = Math.max(1, Math.ceil(objects.length / keysPerPage))
    for (let page = 1; page <= pages; page += 1) {
      const slice = objects.slice((page - 1) * keysPerPage, page * keysPerPage)
      const next = page < pages ? pageName(page + 1) : undefined
      await writeFile(join(this.folder, 'lists', `${listedAs}-${pageName(page)}.xml`), listing(listedAs, slice, next))
    }
  }

  /** Puts a file where its key is and answers how it is listed. */
  async put(key: string, content: Uint8Array): Promise<Listed> {
    const path = join(this.folder, 'data', bucket, key)
    await writeFile(path, content)
    const { size, mtimeMs } = await stat(path)
    return { key, sizeBytes: size, mtimeMs }
  }

  /** How many requests came since the last call. */
  async takeRequests(): Promise<number> {
    const path = join(this.folder, 'access.log')
    const lines = (await readFile(path, 'utf8')).split('\n').length - 1
    await truncate(path)
    return lines
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGTERM')
    if (this.#child.exitCode === null) await once(this.#child, 'exit')
  }
}

/** As nginx makes it of time and size; a dash in it says that it is no MD5. */
export function etagOf({ sizeBytes, mtimeMs, etag }: Listed): string {
  return etag ?? `"${Math.floor(mtimeMs / 1000).toString(16)}-${sizeBytes.toString(16)}"`
}

function listing(prefix: string, objects: readonly Listed[], next: string | undefined): string {
  const contents = objects.map(
    (object) =>
      `<Contents><Key>${object.key}</Key><LastModified>${new Date(object.mtimeMs).toISOString()}</LastModified>` +
      `<ETag>${etagOf(object).replaceAll('"', '&quot;')}</ETag><Size>${object.sizeBytes}</Size>` +
      '<StorageClass>STANDARD</StorageClass></Contents>',
  )
  const more =
    next === undefined ? '' : `<NextContinuationToken>${next}</NextContinuationToken><NextMarker>${next}</NextMarker>`
  return (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' +
    `<Name>${bucket}</Name><Prefix>${prefix}/</Prefix><KeyCount>${objects.length}</KeyCount><MaxKeys>1000</MaxKeys>` +
    `<EncodingType>url</EncodingType><IsTruncated>${next !== undefined}</IsTruncated>${more}${contents.join('')}</ListBucketResult>`
  )
}

function pageName(page: number): string {
  return String(page).padStart(4, '0')
}

function config(folder: string, port: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const lists = `default_type application/xml; root ${folder}/lists; try_files /$listed-$page.xml =404;`
  return `
daemon off; worker_processes 2; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
events { worker_connections 1024; }
http {
  access_log ${folder}/access.log; sendfile on; tcp_nopush on; keepalive_requests 1000000; etag on;
  default_type application/octet-stream;
  ${temporary.map((name) => `${name}_temp_path ${folder}/tmp;`).join(' ')}
  map $args $listed { default none; "~prefix=(?<asked>[a-z]+)" $asked; }
  map $args $page { default 0001; "~(?:continuation-token|marker)=(?<token>[0-9]{4})" $token; }
  server {
    listen 127.0.0.1:${port} default_server; root ${folder}/data;
    location = /${bucket} { ${lists} }
    location = /${bucket}/ { ${lists} }
  }
  server {
    listen 127.0.0.1:${port}; server_name bench-123456789012.s3.localhost; root ${folder}/data/${bucket};
    location = / { ${lists} }
  }
}
`
}

async function freePort(): Promise<number> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port is free')
  return address.port
}

async function connectable(port: number): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    const socket = createConnection(port, '127.0.0.1')
    const isOpen = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false)
    socket.destroy()
    if (isOpen) return
    await delay(50)
  }
  throw new Error('nginx does not listen')
}
