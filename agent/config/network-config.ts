import * as z from 'zod'

import { absolutePath } from './config-text.ts'

const proxyUrl = z
  .url({ protocol: /^https?$/, error: 'must be a URL with http or https, such as http://proxy.example:3128' })
  .refine((text) => !/[^/]@/.test(text), 'must hold no user name and no password: name files with them beside it')
  .refine((text) => URL.parse(text)?.pathname === '/', 'must end behind the port')

const proxy = z
  .strictObject({
    url: proxyUrl.describe('Of an HTTP proxy that makes tunnels (CONNECT). Without a port: 80, or 443 for https.'),
    usernameFile: absolutePath.optional().describe('Holds the user name for the proxy, on one line.'),
    passwordFile: absolutePath.optional().describe('Holds the password for the proxy, on one line.'),
  })
  .refine(({ usernameFile, passwordFile }) => (usernameFile === undefined) === (passwordFile === undefined), {
    error: 'usernameFile and passwordFile belong together',
  })
  .optional()
  .describe('Every connection to the cloud goes by it, MQTT too. Default: HTTPS_PROXY of the environment.')

const exception = z
  .string()
  .regex(
    /^(\*|(\*?\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(:\d{1,5})?|[0-9.]+(\/\d{1,2})?(:\d{1,5})?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(\/\d{1,3})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?)$/,
    'must be a host, .suffix, an address, a block such as 10.0.0.0/8, each with :port or without, or *',
  )

export const networkSection = z
  .strictObject({
    proxy,
    noProxy: z
      .array(exception)
      .max(64)
      .default([])
      .describe('What goes straight: hosts with all below them, .suffix, addresses, blocks, *. Default: NO_PROXY.'),
    maxBytesPerMonth: z
      .int()
      .min(1_048_576)
      .optional()
      .describe(
        'Sent and received together, in a month of UTC. At it, downloads and log uploads wait for the next month.',
      ),
  })
  .prefault({})
  .describe('The way to the cloud. Cameras and what is on this machine never go by a proxy.')
