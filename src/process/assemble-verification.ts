import type { Config } from '../config/config.ts'
import { IpRanges } from '../http/ip-ranges.ts'
import { OutgoingClient } from '../http/outgoing-client.ts'
import { Captchas } from '../services/accounts/captchas.ts'
import { IdentityServers, PhoneVerifier } from '../services/accounts/identity-servers.ts'
import { ThreepidValidation } from '../services/accounts/threepid-validation.ts'
import { VerificationMails } from '../services/accounts/verification-mails.ts'
import { makeWebTls } from '../services/federation/federation-tls.ts'
import { MailSender } from '../services/mail/mail-sender.ts'
import { TemplateRenderer } from '../templates/template-renderer.ts'
import { LinearRegExp } from '../util/linear-regexp.ts'
import { readVersion } from '../util/version.ts'
import type { Core } from './assemble-core.ts'

/** Mails and pages, and what is asked of people before they have an account. */
export interface VerificationServices {
  readonly templates: TemplateRenderer
  readonly mailSender: MailSender
  readonly threepidValidation: ThreepidValidation
  readonly identityServers: IdentityServers
  readonly captchas: Captchas | undefined
  stop(): Promise<void>
}

/** Wires mails, pages, verification of addresses, and captchas. */
export function assembleVerification(core: Core): VerificationServices {
  const { config, database, clock, random, rateLimiter, serverName, signingKey } = core
  const { email } = config.email
  const { publicBaseUrl } = config.server
  const templates = new TemplateRenderer({
    directories: [config.email.templates.customTemplateDirectory, email.templateDir, config.email.accountValidity.templateDir],
    publicBaseUrl,
    common: { server_name: serverName, app_name: email.appName },
  })
  const mailSender = new MailSender({ options: email, templates, serverName, logger: core.logger.child('mail') })
  const { named, trusted } = makeClients(config)
  const delegate = config.registration.accountThreepidDelegates.msisdn
  const threepidValidation = new ThreepidValidation({
    database,
    clock,
    random,
    rateLimiter,
    mails: new VerificationMails({ sender: mailSender, options: email, publicBaseUrl }),
    phones:
      delegate === undefined
        ? undefined
        : new PhoneVerifier({
            outgoing: trusted,
            baseUrl: delegate,
            submitUrl: `${publicBaseUrl}_matrix/client/unstable/add_threepid/msisdn/submit_token`,
          }),
    options: {
      tokenLifetimeMs: email.validationTokenLifetimeMs,
      hidesUse: config.server.requestTokenInhibit3pidErrors,
      nextLinkHosts: config.registration.nextLinkDomainWhitelist,
      allowed: config.registration.allowedLocal3pids.map(({ medium, pattern }) => ({
        medium,
        pattern: new LinearRegExp(pattern),
      })),
      limit: config.ratelimits.rc3pidValidation,
    },
  })
  const { enableRegistrationCaptcha, recaptchaPrivateKey, recaptchaSiteverifyApi: url } = config.limits
  return {
    templates,
    mailSender,
    threepidValidation,
    identityServers: new IdentityServers({ outgoing: named, serverName, signingKey }),
    captchas:
      enableRegistrationCaptcha && recaptchaPrivateKey !== undefined
        ? new Captchas({ outgoing: trusted, url, secret: recaptchaPrivateKey })
        : undefined,
    async stop() {
      await Promise.all([mailSender.close(), named[Symbol.asyncDispose](), trusted[Symbol.asyncDispose]()])
    },
  }
}

/** One client for servers that clients name, and one for those that the administrator names. */
function makeClients({ server, federation }: Config): { named: OutgoingClient; trusted: OutgoingClient } {
  const userAgent = ['Ganglion/' + readVersion(), server.userAgentSuffix].filter((part) => part !== undefined).join(' ')
  const secureContext = makeWebTls(federation)
  const ranges = new IpRanges({
    blacklist: federation.federationIpRangeBlacklist ?? server.ipRangeBlacklist,
    whitelist: server.ipRangeWhitelist,
  })
  return {
    named: new OutgoingClient({ ranges, userAgent, secureContext }),
    trusted: new OutgoingClient({ ranges: new IpRanges({ blacklist: [], whitelist: [] }), userAgent, secureContext }),
  }
}
