import { request, type IncomingHttpHeaders, type RequestOptions } from 'node:http'

export interface HttpReply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Readonly<Record<string, unknown>>
}

/** One request to a port of 127.0.0.1 on a connection of its own; the answer is read as JSON. */
export async function httpGet(port: number, options: RequestOptions): Promise<HttpReply> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpReply>()
  const asked = request({ host: '127.0.0.1', port, agent: false, ...options }, (response) => {
    let text = ''
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => {
      text += chunk
    })
    response.on('error', reject)
    response.on('end', () => {
      const body = (text === '' ? {} : JSON.parse(text)) as Readonly<Record<string, unknown>> // for the tests to judge
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body })
    })
  })
  asked.on('error', reject)
  asked.end()
  return await promise
}
