import { describe, expect, it } from 'vitest'

import { networkSection } from '../../../agent/config/network-config.ts'
import { parseNoProxy } from '../../../agent/network/no-proxy.ts'
import { isThisMachine, proxyFor } from '../../../agent/network/proxy-for.ts'
import { proxyEnvironment, proxySettings, shownProxy, type ProxyServer } from '../../../agent/network/proxy-settings.ts'

const proxy: ProxyServer = {
  host: 'proxy.local',
  port: 3128,
  isTls: false,
  origin: 'HTTPS_PROXY',
  credentials: () => Promise.resolve(undefined),
}

const none = networkSection.parse(undefined)

function goesByProxy(host: string, exceptions: string, port = 443): boolean {
  const { rules } = parseNoProxy(exceptions.split(','))
  return proxyFor(host, port, { proxy, noProxy: rules }) !== undefined
}

describe('a connection goes by the proxy', () => {
  it.each([
    ['s3.us-west-2.amazonaws.com', ''],
    ['a1-ats.iot.us-west-2.amazonaws.com', 'amazon.com,aws.com,.iot.us-west-2.amazonaws.co'],
    ['example.com', '.example.com'],
    ['example.com', '*.example.com'],
    ['badexample.com', 'example.com'],
    ['10.1.2.3', '10.1.2.16/28,10.1.2.30'],
    ['10.1.2.3', '10.1.2.3:8443'],
    ['2001:db8::1', '2001:db9::/32,10.0.0.0/8'],
    ['fd00::5', '[fd00::5]:8443'],
    ['fd00::5', 'fe80::1%eth0,fd00::6'],
    ['example.com', '*:8883'],
    ['10.1.2.3', 'example.com'],
    ['localhost.example.com', ''],
    ['127.example.com', ''],
  ])('to %s with the exceptions "%s"', (host, exceptions) => {
    expect(goesByProxy(host, exceptions)).toBe(true)
  })
})

describe('a connection goes straight', () => {
  it.each([
    ['anything.example', '*'],
    ['example.com', 'example.com'],
    ['EXAMPLE.com.', 'Example.COM'],
    ['deep.example.com', 'example.com'],
    ['deep.example.com', '.example.com'],
    ['deep.example.com', '*.example.com'],
    ['example.com', 'other, example.com:443 '],
    ['10.1.2.3', '10.0.0.0/8'],
    ['10.1.2.3', '10.1.2.3'],
    ['10.1.2.3', '0.0.0.0/0'],
    ['[fd00::5]', 'fd00::/8'],
    ['fd00::5', '[fd00::5]:443'],
    ['[FD00::5]', '[fd00:0:0::5]'],
    ['fe80::5%eth0', 'fe80::/10'],
    ['::ffff:10.1.2.3', '10.0.0.0/8'],
    ['10.1.2.3', '10.0.0.0/8:443'],
    ['example.com', '*:443'],
    ['example.com', ' , Other,EXAMPLE.COM. ,'],
  ])('to %s with the exceptions "%s"', (host, exceptions) => {
    expect(goesByProxy(host, exceptions)).toBe(false)
  })

  it.each(['localhost', 's3.localhost', '127.0.0.1', '127.9.9.9', '::1', '[::1]', 'LOCALHOST.'])(
    'to %s without any exception',
    (host) => {
      expect(isThisMachine(host)).toBe(true)
      expect(goesByProxy(host, '')).toBe(false)
    },
  )

  it('where there is no proxy', () => {
    expect(proxyFor('example.com', 443, { proxy: undefined, noProxy: [] })).toBeUndefined()
  })
})

describe('the settings of the proxy', () => {
  it('name exceptions that mean nothing', () => {
    const none = ['10.0.0.0/40', '10.', '10.1', 'a b', 'http://x', 'x:70000', 'x:', '*x', 'fd00::/129', '[fd00::]/8']
    expect(parseNoProxy([...none, '', 'good', '10.example.com']).unusable).toEqual(none)
  })

  it.each([
    [{ https_proxy: 'lower.local', HTTPS_PROXY: 'upper.local' }, 'lower.local'],
    [{ HTTPS_PROXY: 'upper.local' }, 'upper.local'],
    [{ https_proxy: '', HTTPS_PROXY: 'upper.local' }, 'upper.local'],
    [{ https_proxy: '', HTTPS_PROXY: ' ' }, undefined],
    [{ HTTP_PROXY: 'other.local', ALL_PROXY: 'other.local' }, undefined],
  ])('are found in %j', (variables: Readonly<Record<string, string>>, expected) => {
    const exceptions = { no_proxy: '', NO_PROXY: '.internal' }
    const environment = proxyEnvironment((name) => ({ ...exceptions, ...variables })[name])
    expect(environment).toEqual({ httpsProxy: expected, noProxy: '.internal' })
    expect(proxySettings(none, environment).proxy?.host).toBe(expected)
  })

  it.each([
    ['http://proxy.local:3128', 'proxy.local:3128'],
    ['proxy.local:3128', 'proxy.local:3128'],
    ['http://proxy.local/', 'proxy.local:80'],
    ['https://proxy.local', 'https://proxy.local:443'],
    ['http://[fd00::1]:8080', '[fd00::1]:8080'],
    ['http://user:pass@proxy.local:3128', 'proxy.local:3128'],
  ])('come of the environment: %s is %s', (httpsProxy, shown) => {
    const { proxy: found } = proxySettings(none, { httpsProxy })
    expect(found === undefined ? undefined : shownProxy(found)).toBe(shown)
  })

  it('have credentials that are escaped in the environment', async () => {
    const { proxy: found } = proxySettings(none, { httpsProxy: 'http://dock%40x:p%3A%2F%20w@proxy.local' })
    expect(await found?.credentials()).toEqual({ username: 'dock@x', password: 'p:/ w' })
    const special = ` !"#$%&'()*+,-./:;<=>?@[\\]^_\`{|}~äß€😀`
    const url = `http://${encodeURIComponent(special)}:${encodeURIComponent(special)}@proxy.local:3128`
    const { proxy: other } = proxySettings(none, { httpsProxy: url })
    expect(await other?.credentials()).toEqual({ username: special, password: special })
    expect(other).toMatchObject({ host: 'proxy.local', port: 3128 })
    const unescaped = proxySettings(none, { httpsProxy: 'http://dock:p@ss:w@proxy.local:3128' })
    expect(await unescaped.proxy?.credentials()).toEqual({ username: 'dock', password: 'p@ss:w' })
  })

  it.each([
    'socks5://proxy.local',
    'http://',
    'http://u:%ZZ@proxy.local',
    'http://u:100%@proxy.local',
    'http://a b',
    'http://dock:12/secret@proxy.local:3128',
    'http://dock:12#secret@proxy.local:3128',
    'http://dock:12?secret@proxy.local:3128',
    String.raw`http://dock:12\secret@proxy.local:3128`,
  ])('refuse %s of the environment without showing it', (httpsProxy) => {
    const settings = (): unknown => proxySettings(none, { httpsProxy })
    expect(settings).toThrow(/^HTTPS_PROXY of the environment is no URL of a proxy$/)
  })

  it('are those of the configuration where it has any', () => {
    const network = networkSection.parse({ proxy: { url: 'http://one.local:1' }, noProxy: ['.a'] })
    const { proxy: found, noProxy } = proxySettings(network, { httpsProxy: 'http://two.local', noProxy: '*' })
    expect(found).toMatchObject({ host: 'one.local', port: 1, origin: 'network.proxy' })
    expect(noProxy).toHaveLength(1)
  })

  it.each([
    { proxy: { url: 'ftp://proxy.local' } },
    { proxy: { url: 'http://user:pass@proxy.local' } },
    { proxy: { url: 'http://proxy.local/path' } },
    { proxy: { url: 'http://proxy.local', usernameFile: '/u' } },
    { noProxy: ['http://x'] },
    { noProxy: ['a b'] },
  ])('may not be %j', (network) => {
    expect(networkSection.safeParse(network).success).toBe(false)
  })

  it('name the file when the credentials cannot be read', async () => {
    const files = { usernameFile: '/nowhere/username', passwordFile: '/nowhere/password' }
    const network = networkSection.parse({ proxy: { url: 'http://one.local:1', ...files } })
    await expect(proxySettings(network, {}).proxy?.credentials()).rejects.toMatchObject({
      message: 'the credentials for the proxy cannot be read',
      hint: expect.stringMatching(
        /^write the user name, or the password, to \/nowhere\/(username|password), /,
      ) as string,
      retryable: true,
    })
  })
})
